# cython: language_level=3, boundscheck=False, wraparound=False
"""`leave_python` of `leaving.py`, compiled; see there for what it promises.

The text is read once, strictly, into a tape of its values; what leaves is copied from there in the rule's order. What
this does not read to the letter it does not take: names with escapes, half a surrogate pair, more than `MOST` names in
a rule's object, any fault at all. INVARIANT: nothing is written that the tape does not say, and the tape is of a whole
text that `json_text.read` reads.

    value    one entry: what it is, where it begins and ends, and the entry behind all that is in it
    member   an entry for its name, with a hash of it, and then the value's
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object text)


cdef enum:
    NULL_, TRUE_, FALSE_, NUMBER, STRING, ARRAY, OBJECT, NAME  # what an entry is
    PLAIN_, LEAF, MEMBERS, ELEMENTS, COUNT  # what a rule does with a value
    ANY, TEXT, INTEGER, NUMERIC, DAY  # how a masked value is read
    MOST = 128  # names that a rule's object has
    FEW = 48  # names of an object that are compared one by one
    DEEPEST = 128
    LONGEST_NUMBER = 400
    KEPT = 1 << 16  # entries that are kept for the next text

ctypedef unsigned char byte

cdef struct Entry:
    unsigned int start
    unsigned int end
    unsigned int next  # of a name: its hash
    byte kind
    byte odd  # a string with escapes; a number that is not only digits, a point and a minus before more than nothing

cdef struct Scan:
    const byte *text
    Py_ssize_t size
    Py_ssize_t at
    Entry *tape
    Py_ssize_t count
    Py_ssize_t room
    int depth

cdef struct Hole:
    Py_ssize_t at
    int index

cdef byte usual[256]  # bytes inside a string that are nothing but themselves
cdef Entry *kept = NULL
cdef Py_ssize_t kept_room = 0


cdef void prepare():
    cdef int i
    for i in range(256):
        usual[i] = 32 <= i < 128 and i != 34 and i != 92


cdef Py_ssize_t add(Scan *s, byte kind, Py_ssize_t start) except -1:
    cdef Entry *more
    if s.count == s.room:
        more = <Entry *>realloc(s.tape, 2 * s.room * sizeof(Entry))
        if more == NULL:
            raise MemoryError
        s.tape, s.room = more, 2 * s.room
    s.tape[s.count].start, s.tape[s.count].kind, s.tape[s.count].odd = <unsigned int>start, kind, 0
    s.count += 1
    return s.count - 1


cdef inline void blank(Scan *s) noexcept:
    while s.at < s.size and s.text[s.at] <= 32 and s.text[s.at] in (32, 9, 10, 13):
        s.at += 1


cdef int hexed(const byte *text) noexcept:
    """The number that four hexadecimal digits are; -1 for anything else."""
    cdef int i, found = 0
    for i in range(4):
        if 48 <= text[i] <= 57:
            found = found << 4 | (text[i] - 48)
        elif 97 <= text[i] | 32 <= 102:
            found = found << 4 | ((text[i] | 32) - 87)
        else:
            return -1
    return found


cdef Py_ssize_t beyond(const byte *at, Py_ssize_t left) noexcept:
    """How long the character is that begins with a byte beyond ASCII; 0 where none does (Unicode, table 3-7)."""
    cdef byte lowest = 0x80, highest = 0xBF
    cdef Py_ssize_t size, i
    if 0xC2 <= at[0] <= 0xDF:
        size = 2
    elif 0xE0 <= at[0] <= 0xEF:
        size = 3
        if at[0] == 0xE0:
            lowest = 0xA0
        elif at[0] == 0xED:
            highest = 0x9F
    elif 0xF0 <= at[0] <= 0xF4:
        size = 4
        if at[0] == 0xF0:
            lowest = 0x90
        elif at[0] == 0xF4:
            highest = 0x8F
    else:
        return 0
    if left < size or not lowest <= at[1] <= highest:
        return 0
    for i in range(2, size):
        if not 0x80 <= at[i] <= 0xBF:
            return 0
    return size


cdef bint skip_string(Scan *s, byte *odd) noexcept:
    """Go behind the string whose first quote is behind already."""
    cdef const byte *text = s.text
    cdef Py_ssize_t at = s.at, size = s.size, wide
    cdef int code
    odd[0] = 0
    while True:
        while at < size and usual[text[at]]:
            at += 1
        if at >= size or text[at] < 32:
            return False
        if text[at] == 34:
            s.at = at + 1
            return True
        if text[at] >= 128:
            wide = beyond(text + at, size - at)
            if wide == 0:
                return False
            at += wide
            continue
        odd[0] = 1
        if at + 1 >= size:
            return False
        if text[at + 1] != 117:
            if text[at + 1] not in (34, 92, 47, 98, 102, 110, 114, 116):
                return False
            at += 2
            continue
        code = hexed(text + at + 2) if at + 6 <= size else -1
        at += 6
        if code < 0 or 0xDC00 <= code <= 0xDFFF:
            return False
        if 0xD800 <= code <= 0xDBFF:
            if at + 6 > size or text[at] != 92 or text[at + 1] != 117:
                return False
            code = hexed(text + at + 2)
            if not 0xDC00 <= code <= 0xDFFF:
                return False
            at += 6


cdef bint skip_digits(Scan *s) noexcept:
    cdef Py_ssize_t begun = s.at
    while s.at < s.size and 48 <= s.text[s.at] <= 57:
        s.at += 1
    return s.at > begun


cdef bint skip_number(Scan *s, byte *odd) noexcept:
    cdef Py_ssize_t begun = s.at
    odd[0] = 0
    if s.text[s.at] == 45:
        s.at += 1
        odd[0] = s.at < s.size and s.text[s.at] == 48
    if s.at < s.size and s.text[s.at] == 48:
        s.at += 1
    elif not skip_digits(s):
        return False
    if s.at < s.size and s.text[s.at] == 46:
        s.at += 1
        if not skip_digits(s):
            return False
    if s.at < s.size and s.text[s.at] | 32 == 101:
        odd[0] = 1
        s.at += 1
        if s.at < s.size and s.text[s.at] in (43, 45):
            s.at += 1
        if not skip_digits(s):
            return False
    if s.at - begun > LONGEST_NUMBER:
        odd[0] = 1
    return True


cdef unsigned int hash_of(const byte *text, Py_ssize_t size) noexcept:
    cdef unsigned int found = 2166136261u ^ <unsigned int>size
    cdef Py_ssize_t i
    for i in range(size):
        found = (found ^ text[i]) * 16777619u
    return found


cdef bint literal(Scan *s, const char *word, Py_ssize_t size) noexcept:
    if s.size - s.at < size or memcmp(s.text + s.at, word, size) != 0:
        return False
    s.at += size
    return True


cdef int scan(Scan *s, int level) except -1:
    """Put the value that begins here on the tape; 0 where it is not taken."""
    cdef Py_ssize_t here
    cdef byte odd = 0, first
    if s.at >= s.size:
        return 0
    first = s.text[s.at]
    if first == 123 or first == 91:
        return scan_members(s, level + 1) if first == 123 else scan_elements(s, level + 1)
    here = add(s, NULL_, s.at)
    if first == 34:
        s.at += 1
        if not skip_string(s, &odd):
            return 0
        s.tape[here].kind = STRING
    elif first == 45 or 48 <= first <= 57:
        if not skip_number(s, &odd):
            return 0
        s.tape[here].kind = NUMBER
    elif literal(s, b"true", 4):
        s.tape[here].kind = TRUE_
    elif literal(s, b"false", 5):
        s.tape[here].kind = FALSE_
    elif not literal(s, b"null", 4):
        return 0
    s.tape[here].odd = odd
    s.tape[here].end = <unsigned int>s.at
    s.tape[here].next = <unsigned int>s.count
    return 1


cdef int close(Scan *s, Py_ssize_t here) noexcept:
    s.at += 1
    s.tape[here].end = <unsigned int>s.at
    s.tape[here].next = <unsigned int>s.count
    return 1


cdef int scan_elements(Scan *s, int level) except -1:
    cdef Py_ssize_t here = add(s, ARRAY, s.at)
    if level > s.depth:
        return 0
    s.at += 1
    blank(s)
    if s.at < s.size and s.text[s.at] == 93:
        return close(s, here)
    while True:
        blank(s)
        if not scan(s, level):
            return 0
        blank(s)
        if s.at >= s.size:
            return 0
        if s.text[s.at] == 93:
            return close(s, here)
        if s.text[s.at] != 44:
            return 0
        s.at += 1


cdef int scan_members(Scan *s, int level) except -1:
    cdef Py_ssize_t here = add(s, OBJECT, s.at), name, start, size
    cdef unsigned int hashes[FEW]
    cdef unsigned int names[FEW]
    cdef unsigned int hashed
    cdef int count = 0, i
    cdef byte odd = 0
    cdef set many = None
    cdef object spelled
    if level > s.depth:
        return 0
    s.at += 1
    blank(s)
    if s.at < s.size and s.text[s.at] == 125:
        return close(s, here)
    while True:
        blank(s)
        if s.at >= s.size or s.text[s.at] != 34:
            return 0
        s.at += 1
        start = s.at
        if not skip_string(s, &odd) or odd:
            return 0
        size = s.at - 1 - start
        hashed = hash_of(s.text + start, size)
        # a name stands in an object once: two readers would take different ones
        if many is not None:
            spelled = PyBytes_FromStringAndSize(<const char *>s.text + start, size)
            if spelled in many:
                return 0
            many.add(spelled)
        else:
            for i in range(count):
                if hashes[i] == hashed and s.tape[names[i]].end - s.tape[names[i]].start == <unsigned int>size:
                    if memcmp(s.text + s.tape[names[i]].start, s.text + start, size) == 0:
                        return 0
        name = add(s, NAME, start)
        s.tape[name].end, s.tape[name].next = <unsigned int>(start + size), hashed
        if many is None:
            if count == FEW:
                many = {spell(s, names[i]) for i in range(count)}
                many.add(spell(s, name))
            else:
                hashes[count], names[count] = hashed, <unsigned int>name
                count += 1
        blank(s)
        if s.at >= s.size or s.text[s.at] != 58:
            return 0
        s.at += 1
        blank(s)
        if not scan(s, level):
            return 0
        blank(s)
        if s.at >= s.size:
            return 0
        if s.text[s.at] == 125:
            return close(s, here)
        if s.text[s.at] != 44:
            return 0
        s.at += 1


cdef bytes spell(Scan *s, Py_ssize_t at):
    cdef Entry *one = s.tape + at
    return PyBytes_FromStringAndSize(<const char *>s.text + one.start, one.end - one.start)


cdef class Names:
    """Names to look for, with their hashes."""

    cdef tuple spelled
    cdef unsigned int hashes[MOST]
    cdef int count

    def __init__(self, tuple spelled not None):
        cdef int i
        cdef bytes one
        if len(spelled) > MOST:
            raise OverflowError("more names than are looked for")
        self.spelled, self.count = spelled, len(spelled)
        for i in range(self.count):
            one = spelled[i]
            self.hashes[i] = hash_of(<const byte *>PyBytes_AS_STRING(one), PyBytes_GET_SIZE(one))

    cdef int find(self, Scan *s, Entry *name, int first) noexcept:
        """Which one it is, looked for from `first` on; -1 for none."""
        cdef int i, at = first
        cdef Py_ssize_t size = name.end - name.start
        cdef void *one
        for i in range(self.count):
            if at >= self.count:
                at = 0
            if self.hashes[at] == name.next:
                one = <void *>self.spelled[at]
                if PyBytes_GET_SIZE(<object>one) == size:
                    if memcmp(PyBytes_AS_STRING(<object>one), s.text + name.start, size) == 0:
                        return at
            at += 1
        return -1


cdef class Node:
    """What is done with the value at one place."""

    cdef int kind
    cdef int reader
    cdef int most
    cdef object render
    cdef object leaf
    cdef bytes fixed
    cdef bint always
    cdef Names names
    cdef tuple below
    cdef Node element
    cdef tuple whose
    cdef int index
    cdef bint counted
    cdef tuple scope


def plain():
    """A scalar passes as it is."""
    cdef Node made = Node()
    made.kind, made.scope = PLAIN_, ()
    return made


def leaf(object masked not None, str reader not None, int most, object render, bytes fixed, bint always):
    """A value is masked: by `render`, of a text of the usual form, or else by `masked`; or is `fixed` whatever it is."""
    cdef Node made = Node()
    made.kind, made.scope, made.leaf, made.render, made.most = LEAF, (), masked, render, most
    made.reader = {"": ANY, "text": TEXT, "integer": INTEGER, "numeric": NUMERIC, "date": DAY}[reader]
    made.fixed, made.always = fixed, always
    return made


def members(tuple names not None, tuple below not None, tuple scope not None):
    """Of an object, those members."""
    cdef Node made = Node()
    made.kind, made.scope, made.names, made.below = MEMBERS, scope, Names(names), below
    return made


def elements(Node element not None, tuple whose, int index, bint counted, tuple scope not None):
    """Of an array, its elements: with `whose`, the names on the way to it, only those of the customers."""
    cdef Node made = Node()
    made.kind, made.scope, made.element, made.index, made.counted = ELEMENTS, scope, element, index, counted
    made.whose = None if whose is None else tuple(Names((name,)) for name in whose)
    return made


def count(int index):
    """How many elements are left of that array."""
    cdef Node made = Node()
    made.kind, made.scope, made.index = COUNT, (), index
    return made


cdef class Run:
    """One text on its way."""

    cdef Scan s
    cdef object customers
    cdef bytes key
    cdef object read
    cdef object write
    cdef char *out
    cdef Py_ssize_t size
    cdef Py_ssize_t room
    cdef list counts
    cdef Hole *holes
    cdef int open
    cdef int most_open
    cdef Py_ssize_t rows

    def __dealloc__(self):
        global kept, kept_room
        if kept == NULL and self.s.room <= KEPT:
            kept, kept_room = self.s.tape, self.s.room
        else:
            free(self.s.tape)
        free(self.out)
        free(self.holes)

    cdef int begin(self, const byte *text, Py_ssize_t size) except -1:
        global kept, kept_room
        self.s.text, self.s.size, self.s.at = text, size, 0
        if kept != NULL:
            self.s.tape, self.s.room = kept, kept_room
            kept = NULL
        else:
            self.s.room = 256
            self.s.tape = <Entry *>malloc(self.s.room * sizeof(Entry))
        self.room = size // 2 + 64
        self.out = <char *>malloc(self.room)
        if self.s.tape == NULL or self.out == NULL:
            raise MemoryError
        return 0

    cdef int put(self, const void *data, Py_ssize_t size) except -1:
        cdef char *more
        if self.size + size > self.room:
            more = <char *>realloc(self.out, 2 * (self.room + size))
            if more == NULL:
                raise MemoryError
            self.out, self.room = more, 2 * (self.room + size)
        memcpy(self.out + self.size, data, size)
        self.size += size
        return 0

    cdef object value(self, Entry *one):
        """The value as `json_text.read` gives it."""
        cdef bytes text
        if one.kind == STRING and not one.odd:
            return PyUnicode_DecodeUTF8(<const char *>self.s.text + one.start + 1, one.end - one.start - 2, NULL)
        text = PyBytes_FromStringAndSize(<const char *>self.s.text + one.start, one.end - one.start)
        return self.read(text, DEEPEST)

    cdef object scalar(self, Entry *one):
        """A string or a number as text; None for everything else."""
        if one.kind == NUMBER:
            return PyUnicode_DecodeUTF8(<const char *>self.s.text + one.start, one.end - one.start, NULL)
        return self.value(one) if one.kind == STRING else None

    cdef bint belongs(self, Py_ssize_t at, tuple path) except -1:
        """Whether what stands below that entry on that path is one of the customers."""
        cdef Names names
        cdef Py_ssize_t end
        cdef object text
        for names in path:
            if self.s.tape[at].kind != OBJECT:
                return False
            end = self.s.tape[at].next
            at += 1
            while at < end and names.find(&self.s, self.s.tape + at, 0) < 0:
                at = self.s.tape[at + 1].next
            if at >= end:
                return False
            at += 1
        text = self.scalar(self.s.tape + at)
        return text is not None and text in self.customers

    cdef int put_code(self, int code) except -1:
        """A character that an escape stands for, as the shortest text has it."""
        cdef byte out[6]
        cdef const char *short
        cdef int size = 0
        if code == 34 or code == 92:
            out[0], out[1], size = 92, <byte>code, 2
        elif code < 32:
            out[0], size = 92, 2
            if code in (8, 9, 10, 12, 13):
                short = b"btn\0fr"
                out[1] = short[code - 8]
            else:
                out[1], out[2], out[3], size = 117, 48, 48, 6
                out[4] = 48 + (code >> 4)
                out[5] = code & 15
                out[5] += 48 if out[5] < 10 else 87
        elif code < 0x80:
            out[0], size = <byte>code, 1
        elif code < 0x800:
            out[0], out[1], size = <byte>(0xC0 | code >> 6), <byte>(0x80 | code & 63), 2
        elif code < 0x10000:
            out[0], out[1], size = <byte>(0xE0 | code >> 12), <byte>(0x80 | code >> 6 & 63), 3
            out[2] = <byte>(0x80 | code & 63)
        else:
            out[0], out[1], size = <byte>(0xF0 | code >> 18), <byte>(0x80 | code >> 12 & 63), 4
            out[2], out[3] = <byte>(0x80 | code >> 6 & 63), <byte>(0x80 | code & 63)
        return self.put(out, size)

    cdef int put_string(self, Entry *one) except -1:
        """A string with escapes, its characters written in the shortest way."""
        cdef const byte *text = self.s.text
        cdef Py_ssize_t at = one.start, end = one.end, begun
        cdef int code, low
        while at < end:
            begun = at
            while at < end and text[at] != 92:
                at += 1
            self.put(text + begun, at - begun)
            if at >= end:
                break
            if text[at + 1] == 117:
                code = hexed(text + at + 2)
                at += 6
                if 0xD800 <= code <= 0xDBFF:
                    low = hexed(text + at + 2)
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                    at += 6
                self.put_code(code)
            else:
                # all but the solidus need theirs
                self.put(text + at + (text[at + 1] == 47), 2 - (text[at + 1] == 47))
                at += 2
        return 0

    cdef int put_scalar(self, Entry *one) except -1:
        if one.kind == ARRAY or one.kind == OBJECT:
            return self.put(b"null", 4)
        if one.kind == STRING and one.odd:
            return self.put_string(one)
        return self.put(self.s.text + one.start, one.end - one.start)

    cdef int put_text(self, object made, bint quoted) except -1:
        """What a mask made."""
        cdef Py_ssize_t size, i
        cdef const char *at
        cdef bytes written
        if made is None:
            return self.put(b"null", 4)
        if PyUnicode_IS_ASCII(made):
            at = PyUnicode_AsUTF8AndSize(made, &size)
            i = 0
            if quoted:
                while i < size and usual[<byte>at[i]]:
                    i += 1
            if not quoted or i == size:
                if quoted:
                    self.put(b'"', 1)
                self.put(at, size)
                return self.put(b'"', 1) if quoted else 0
        written = self.write(made)
        return self.put(PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))

    cdef bint is_usual(self, Node node, Entry *one) noexcept:
        """Whether the value is of the form that `render` takes as it is."""
        cdef const byte *text = self.s.text + one.start
        cdef Py_ssize_t size = one.end - one.start, i
        if node.reader == TEXT:
            return one.kind == STRING and not one.odd
        if node.reader == NUMERIC:
            return one.kind == NUMBER and not one.odd
        if node.reader == INTEGER:
            if one.kind != NUMBER or size > node.most:
                return False
            for i in range(size):
                if not 48 <= text[i] <= 57:
                    return False
            return True
        if node.reader == DAY:
            if one.kind != STRING or one.odd or size != 12:
                return False
            for i in range(10):
                if text[i + 1] != 45 if i == 4 or i == 7 else not 48 <= text[i + 1] <= 57:
                    return False
            return True
        return False

    cdef int put_leaf(self, Node node, Entry *one) except -1:
        cdef bytes written
        if node.fixed is not None:
            return self.put(PyBytes_AS_STRING(node.fixed), PyBytes_GET_SIZE(node.fixed))
        if self.is_usual(node, one):
            return self.put_text(node.render(self.scalar(one), self.key), one.kind == STRING)
        written = self.write(node.leaf(self.value(one), self.key))
        return self.put(PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))

    cdef int put_value(self, Node node, Py_ssize_t at) except -1:
        """What leaves of the value at that entry."""
        cdef object index
        for index in node.scope:
            self.counts[index] = 0
        if node.kind == PLAIN_:
            self.put_scalar(self.s.tape + at)
        elif node.kind == LEAF:
            self.put_leaf(node, self.s.tape + at)
        elif node.kind == MEMBERS:
            self.put_members(node, at)
        elif node.kind == ELEMENTS:
            self.put_elements(node, at)
        else:
            self.put_hole(node.index)
        if node.scope and self.open:
            self.fill(node.scope)
        return 0

    cdef int put_members(self, Node node, Py_ssize_t at) except -1:
        cdef unsigned int places[MOST]
        cdef Py_ssize_t end = self.s.tape[at].next
        cdef int i, next = 0
        cdef Node below
        cdef bytes name
        cdef bint first = True
        if self.s.tape[at].kind != OBJECT:
            return self.put(b"null", 4)
        for i in range(node.names.count):
            places[i] = 0
        at += 1
        while at < end:
            i = node.names.find(&self.s, self.s.tape + at, next)
            if i >= 0:
                places[i], next = <unsigned int>(at + 1), i + 1
            at = self.s.tape[at + 1].next
        self.put(b"{", 1)
        for i in range(node.names.count):
            below = <Node>node.below[i]
            if places[i] == 0 and not (below.kind == LEAF and below.always):
                continue
            if not first:
                self.put(b",", 1)
            first = False
            name = <bytes>node.names.spelled[i]
            self.put(b'"', 1)
            self.put(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            self.put(b'":', 2)
            if places[i] == 0:
                self.put(PyBytes_AS_STRING(below.fixed), PyBytes_GET_SIZE(below.fixed))
            else:
                self.put_value(below, places[i])
        return self.put(b"}", 1)

    cdef int put_elements(self, Node node, Py_ssize_t at) except -1:
        cdef Py_ssize_t end = self.s.tape[at].next, left = 0
        if self.s.tape[at].kind != ARRAY:
            return self.put(b"null", 4)
        self.put(b"[", 1)
        at += 1
        while at < end:
            if node.whose is None or self.belongs(at, node.whose):
                if left:
                    self.put(b",", 1)
                left += 1
                self.put_value(node.element, at)
            at = self.s.tape[at].next
        if node.whose is not None:
            self.counts[node.index] += left
        if node.counted:
            self.rows += left
        return self.put(b"]", 1)

    cdef int put_hole(self, int index) except -1:
        """Keep a place for a number that is known when the whole of its scope has been."""
        cdef Hole *more
        if self.open == self.most_open:
            more = <Hole *>realloc(self.holes, (2 * self.most_open + 8) * sizeof(Hole))
            if more == NULL:
                raise MemoryError
            self.holes, self.most_open = more, 2 * self.most_open + 8
        self.holes[self.open].at, self.holes[self.open].index = self.size, index
        self.open += 1
        return 0

    cdef int fill(self, tuple scope) except -1:
        """Write the numbers of a scope into their places."""
        cdef int i = 0, j
        cdef bytes number
        cdef Py_ssize_t size, place
        while i < self.open:
            if self.holes[i].index not in scope:
                i += 1
                continue
            number = str(self.counts[self.holes[i].index]).encode()
            size, place = PyBytes_GET_SIZE(number), self.holes[i].at
            self.put(PyBytes_AS_STRING(number), size)
            memmove(self.out + place + size, self.out + place, self.size - size - place)
            memcpy(self.out + place, PyBytes_AS_STRING(number), size)
            self.open -= 1
            for j in range(i, self.open):
                self.holes[j] = self.holes[j + 1]
            for j in range(self.open):
                if self.holes[j].at > place:
                    self.holes[j].at += size
        return 0


cdef class Program:
    """A rule, ready for texts. `read` and `write` are those of `json_text`."""

    cdef Node root
    cdef Names names
    cdef tuple whose
    cdef int arrays
    cdef object read
    cdef object write

    def __init__(self, Node root not None, tuple whose, int arrays, object read, object write):
        self.root, self.arrays, self.read, self.write = root, arrays, read, write
        self.whose = None if whose is None else tuple(Names((name,)) for name in whose)

    def leave(self, object text, object customers not None, bytes key, int depth):
        """What leaves of a text, and how many records are in it; None for it where it is another customer's.

        None instead of both where the text is not taken.
        """
        cdef Py_buffer view
        cdef Run run
        if depth > DEEPEST:
            return None
        PyObject_GetBuffer(text, &view, PyBUF_SIMPLE)
        try:
            if view.len >= 1 << 31:
                return None
            run = Run()
            run.customers, run.key, run.read, run.write = customers, key, self.read, self.write
            run.counts = [0] * self.arrays
            run.s.depth = depth
            run.begin(<const byte *>view.buf, view.len)
            blank(&run.s)
            if not scan(&run.s, 0):
                return None
            blank(&run.s)
            if run.s.at != run.s.size or run.s.tape[0].kind != (ARRAY if self.root.kind == ELEMENTS else OBJECT):
                return None
            if self.whose is not None and not run.belongs(0, self.whose):
                return None, 0
            run.put_value(self.root, 0)
            if self.root.kind == MEMBERS and run.rows == 0:
                run.rows = 1
            return PyBytes_FromStringAndSize(run.out, run.size), run.rows
        finally:
            PyBuffer_Release(&view)


prepare()
