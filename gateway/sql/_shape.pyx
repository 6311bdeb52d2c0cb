# cython: language_level=3, boundscheck=False, wraparound=False
"""`cut_python` of `template.py`, compiled; see there for what it promises. Both expressions are walked by hand."""

from cpython.unicode cimport PyUnicode_Substring


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object text)


cdef enum:
    DIGIT = 1
    WORD = 2  # a letter, a digit or an underscore
    MARK = 4  # what makes a number more than digits: a letter, an underscore or a dot
    ODD = 8

cdef unsigned char kinds[256]


cdef void prepare():
    cdef int i
    for i in range(256):
        kinds[i] = ODD if i > 127 or i in b"\0$\\" else 0
        if 48 <= i <= 57:
            kinds[i] = DIGIT | WORD
        elif 65 <= i <= 90 or 97 <= i <= 122 or i == 95:
            kinds[i] = WORD | MARK
        elif i == 46:
            kinds[i] = MARK


cdef inline unsigned char kind(const char *at) noexcept:
    return kinds[<unsigned char>at[0]]


cdef bint is_odd(const char *text, Py_ssize_t size) noexcept:
    """Whether the text needs a grammar to be cut. `text[size]` is a NUL."""
    cdef Py_ssize_t i, j
    cdef char now, after
    for i in range(size):
        now, after = text[i], text[i + 1]
        if kinds[<unsigned char>now] & ODD:
            return True
        if now == b"-" and after == b"-" or now == b"/" and after == b"*":
            return True
        if after == b"'" and (now == b"'" or now == b"&" or kinds[<unsigned char>now] & WORD):
            return True
        if now == b'"' and after == b'"':
            return True
        if now == b"." and kinds[<unsigned char>after] & DIGIT:
            return True
        if kinds[<unsigned char>now] & DIGIT and (i == 0 or not kind(text + i - 1) & WORD):
            if now == b"0" and kinds[<unsigned char>after] & DIGIT:
                return True
            j = i + 1
            while kind(text + j) & (WORD | MARK):
                if kind(text + j) & MARK:
                    return True
                j += 1
    return False


def cut(str text not None, Py_ssize_t most):
    cdef Py_ssize_t size, i = 0, j, last = 0
    cdef const char *at
    cdef list pieces = [], values = [], offsets = []
    if not PyUnicode_IS_ASCII(text):
        return None
    at = PyUnicode_AsUTF8AndSize(text, &size)
    if is_odd(at, size):
        return None
    while i < size:
        j = i + 1
        if at[i] == b"'" or at[i] == b'"':
            while j < size and at[j] != at[i]:
                j += 1
            if j == size:
                # it does not end: a quote like any other character
                i += 1
                continue
            j += 1
            if at[i] == b'"':
                i = j
                continue
        elif kind(at + i) & DIGIT:
            while kind(at + j) & DIGIT:
                j += 1
            if j - i > 9 or kind(at + j) & (WORD | MARK) or i > 0 and kind(at + i - 1) & (WORD | MARK):
                i = j
                continue
        else:
            i = j
            continue
        if len(values) == most:
            return None
        pieces.append(PyUnicode_Substring(text, last, i))
        pieces.append("\0s" if at[i] == b"'" else "\0n")
        values.append(PyUnicode_Substring(text, i, j))
        offsets.append(i)
        i = last = j
    if not values:
        return None
    pieces.append(PyUnicode_Substring(text, last, size))
    return "".join(pieces), tuple(values), tuple(offsets)


prepare()
