# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""`Layout` and `Stamps` of `encode.py`, compiled; see there for what they promise.

INVARIANT: `fill` writes nothing that it has not checked, and answers None where the twin does.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object text)


cdef enum:
    LEAF_LIMIT = 16384
    # of one integer
    DIGITS = 20

cdef int64_t SAFE_INTEGER = (1LL << 53) - 1
cdef uint8_t plain[256]
cdef char scratch[LEAF_LIMIT + DIGITS]


cdef void prepare():
    cdef uint8_t letter
    memset(plain, 0, 256)
    for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;_+-":
        plain[letter] = 1


cdef class Layout:
    """See `encode.PythonLayout`."""

    cdef list pieces
    cdef list order
    cdef tuple is_text
    cdef Py_ssize_t count

    def __init__(self, pieces, order, is_text):
        if len(pieces) != len(order) + 1 or sorted(order) != list(range(len(is_text))):
            raise ValueError("pieces, order and types do not fit")
        self.pieces, self.order, self.is_text, self.count = list(pieces), list(order), tuple(is_text), len(order)

    def fill(self, tuple values not None):
        cdef Py_ssize_t at = 0, i, size
        cdef const char *text
        cdef bytes piece
        cdef object value
        if len(values) != self.count:
            raise ValueError("a layout takes a value for each of its variables")
        for i in range(self.count + 1):
            piece = <bytes>self.pieces[i]
            size = PyBytes_GET_SIZE(piece)
            if at + size > LEAF_LIMIT:
                return None
            memcpy(scratch + at, PyBytes_AS_STRING(piece), size)
            at += size
            if i == self.count:
                break
            value = values[<Py_ssize_t>self.order[i]]
            if self.is_text[<Py_ssize_t>self.order[i]]:
                if not PyUnicode_CheckExact(value) or not PyUnicode_IS_ASCII(value):
                    return None
                text = PyUnicode_AsUTF8AndSize(value, &size)
                if at + size > LEAF_LIMIT or not copy_plain(scratch + at, text, size):
                    return None
                at += size
            else:
                size = write_number(scratch + at, value)
                if size == 0:
                    return None
                at += size
        return PyBytes_FromStringAndSize(scratch, at) if at <= LEAF_LIMIT else None


cdef bint copy_plain(char *to, const char *text, Py_ssize_t size) noexcept:
    cdef Py_ssize_t i
    for i in range(size):
        if not plain[<uint8_t>text[i]]:
            return False
        to[i] = text[i]
    return True


cdef Py_ssize_t write_number(char *to, object value) except -1:
    """How many digits; 0 for what is no integer that JSON can carry, or negative."""
    cdef int overflow = 0
    cdef long long number
    cdef char digits[DIGITS]
    cdef Py_ssize_t count = 0, i
    if not PyLong_CheckExact(value):
        return 0
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < 0 or number > SAFE_INTEGER:
        return 0
    while True:
        digits[count] = <char>(48 + number % 10)
        count += 1
        number //= 10
        if not number:
            break
    for i in range(count):
        to[i] = digits[count - 1 - i]
    return count


cdef class Stamps:
    """See `encode.PythonStamps`."""

    cdef object entropy, second_text
    cdef bytes pool, prefix
    cdef Py_ssize_t at
    cdef int64_t second

    def __init__(self, entropy, second_text):
        self.entropy, self.second_text = entropy, second_text
        self.pool, self.at, self.second, self.prefix = b"", 0, -1, b""

    def next(self, int64_t moment):
        cdef char id[36]
        cdef char time[27]
        cdef int64_t second = moment // 1_000_000, part = moment % 1_000_000, ms = moment // 1_000
        cdef int64_t micros = moment % 1_000
        cdef const uint8_t *noise
        cdef int i
        if moment < 0:
            raise ValueError("a moment before 1970")
        if second != self.second:
            self.prefix = self.second_text(second).encode("ascii")
            if len(self.prefix) != 19:
                raise ValueError("a moment after the year 9999")
            self.second = second
        if self.at >= len(self.pool):
            self.pool, self.at = self.entropy(1_024), 0
            if len(self.pool) % 8 or not self.pool:
                raise ValueError("noise comes in pieces of eight bytes")
        noise = <const uint8_t *>PyBytes_AS_STRING(self.pool) + self.at
        self.at += 8
        memcpy(time, PyBytes_AS_STRING(self.prefix), 19)
        time[19] = 46
        for i in range(6):
            time[25 - i] = <char>(48 + part % 10)
            part //= 10
        time[26] = 90
        for i in range(12):
            id[(11 - i) + (11 - i >= 8)] = hex_digit(ms & 15)
            ms >>= 4
        id[8] = id[13] = id[18] = id[23] = 45
        id[14] = 55
        for i in range(3):
            id[17 - i] = hex_digit(micros & 15)
            micros >>= 4
        id[19] = hex_digit(8 | (noise[0] >> 4 & 3))
        id[20] = hex_digit(noise[0] & 15)
        id[21] = hex_digit(noise[1] >> 4)
        id[22] = hex_digit(noise[1] & 15)
        for i in range(6):
            id[24 + 2 * i] = hex_digit(noise[2 + i] >> 4)
            id[25 + 2 * i] = hex_digit(noise[2 + i] & 15)
        return PyUnicode_DecodeASCII(id, 36, NULL), PyUnicode_DecodeASCII(time, 27, NULL)


cdef char hex_digit(int64_t value) noexcept:
    return <char>(48 + value if value < 10 else 87 + value)


prepare()
