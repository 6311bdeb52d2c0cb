# cython: language_level=3, boundscheck=False, wraparound=False
"""The makers of `masks.py` that answers meet most, compiled; see there for what they promise.

Each does the usual text by hand and leaves every other one (not ASCII, too long, another form) to its twin. `begun` gives
the two states of an HMAC behind a key and a label: hashlib's, or `States`, which are OpenSSL's own without the objects.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII


cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_ASCII(object text)


ctypedef struct Sha:
    unsigned char room[256]  # SHA256_CTX has 112 bytes

ctypedef int (*Begin)(Sha *) noexcept
ctypedef int (*Update)(Sha *, const void *, size_t) noexcept
ctypedef int (*Final)(unsigned char *, Sha *) noexcept

cdef Begin sha_begin = NULL
cdef Update sha_update = NULL
cdef Final sha_final = NULL


def adopt(size_t begin, size_t update, size_t final):
    """Take OpenSSL's `SHA256_Init`, `SHA256_Update` and `SHA256_Final`, by their addresses."""
    global sha_begin, sha_update, sha_final
    sha_begin, sha_update, sha_final = <Begin>begin, <Update>update, <Final>final


cdef class States:
    """An HMAC's two states, behind these bytes."""

    cdef Sha inner
    cdef Sha outer

    def __init__(self, bytes inner not None, bytes outer not None):
        if sha_begin == NULL:
            raise ValueError("there is no SHA-256 yet")
        sha_begin(&self.inner)
        sha_update(&self.inner, PyBytes_AS_STRING(inner), len(inner))
        sha_begin(&self.outer)
        sha_update(&self.outer, PyBytes_AS_STRING(outer), len(outer))

    def of(self, str text not None):
        """The HMAC of a text."""
        return digest_of(self, text)

    cdef bytes digest(self, const char *text, Py_ssize_t size):
        cdef Sha state = self.inner
        cdef unsigned char found[32]
        sha_update(&state, text, size)
        sha_final(found, &state)
        state = self.outer
        sha_update(&state, found, 32)
        sha_final(found, &state)
        return PyBytes_FromStringAndSize(<char *>found, 32)


cdef const char *HEX = b"0123456789abcdef"


cdef object digest_of(object states, str text):
    cdef Py_ssize_t size
    cdef const char *at
    cdef object inner, outer
    cdef bytes encoded
    if type(states) is States:
        if PyUnicode_IS_ASCII(text):
            at = PyUnicode_AsUTF8AndSize(text, &size)
            return (<States>states).digest(at, size)
        encoded = text.encode("utf-8", "surrogatepass")
        return (<States>states).digest(PyBytes_AS_STRING(encoded), len(encoded))
    inner, outer = states[0].copy(), states[1].copy()
    if PyUnicode_IS_ASCII(text):
        at = PyUnicode_AsUTF8AndSize(text, &size)
        inner.update(PyBytes_FromStringAndSize(at, size))
    else:
        inner.update(text.encode("utf-8", "surrogatepass"))
    outer.update(inner.digest())
    return outer.digest()


cdef void to_hex(const unsigned char *digest, char *out, int digits) noexcept:
    cdef int i
    for i in range(digits):
        out[i] = HEX[digest[i >> 1] >> 4 if i & 1 == 0 else digest[i >> 1] & 15]


cdef int name_of(const unsigned char *digest, char *out, const char *syllables, unsigned int consonants,
                 unsigned int vowels) noexcept:
    cdef unsigned int bits = (
        <unsigned int>digest[0] << 24 | <unsigned int>digest[1] << 16 | <unsigned int>digest[2] << 8 | digest[3]
    )
    cdef int i
    bits = (bits >> 4 | consonants) & vowels
    for i in range(7):
        out[i] = syllables[bits >> (4 * (6 - i)) & 15]
    out[0] -= 32
    return 7


def syllables(str digits not None, str letters not None):
    """The letter of each hexadecimal digit."""
    return bytes(dict(zip(digits.encode(), letters.encode()))[HEX[i]] for i in range(16))


def last_name(str domain, object begun, bytes letters, unsigned int consonants, unsigned int vowels, str suffix):
    def made(str text not None, bytes key not None):
        cdef char out[8]
        cdef object digest = digest_of(begun(key, domain), text)
        cdef int size = name_of(
            <const unsigned char *>PyBytes_AS_STRING(digest), out, PyBytes_AS_STRING(letters), consonants, vowels
        )
        return PyUnicode_DecodeASCII(out, size, NULL) + suffix

    return made


def token(str domain, object begun):
    def made(str text not None, bytes key not None):
        cdef char out[22]
        cdef object digest = digest_of(begun(key, domain), text)
        out[0], out[1] = b"t", b"_"
        to_hex(<const unsigned char *>PyBytes_AS_STRING(digest), out + 2, 20)
        return PyUnicode_DecodeASCII(out, 22, NULL)

    return made


def number(str domain, object begun, int size, unsigned long long largest):
    def made(str text not None, bytes key not None):
        cdef unsigned long long found = 0
        cdef int i
        cdef object digest = digest_of(begun(key, domain), text)
        for i in range(size):
            found = found << 8 | (<const unsigned char *>PyBytes_AS_STRING(digest))[i]
        return str(found & largest)

    return made


cdef Py_ssize_t domain_at(const char *text, Py_ssize_t size) noexcept:
    """Where the domain of an address begins, its at sign included; `size` where there is none."""
    cdef Py_ssize_t at = size - 1, i, label
    cdef bint dotted = False
    while at >= 0 and text[at] != b"@":
        at -= 1
    if at < 0:
        return size
    label = at + 1
    for i in range(at + 1, size):
        if text[i] == b".":
            if i == label:
                return size
            label, dotted = i + 1, True
        elif not (b"a" <= text[i] <= b"z" or b"A" <= text[i] <= b"Z" or b"0" <= text[i] <= b"9" or text[i] == b"-"):
            return size
    if label == size or not dotted:
        return size
    for i in range(label, size):
        if not (b"a" <= text[i] <= b"z" or b"A" <= text[i] <= b"Z"):
            return size
    return at


def email(bint keyed, object begun, object twin):
    def made(str text not None, bytes key not None):
        cdef Py_ssize_t size, at
        cdef const char *found
        cdef char out[27]
        cdef object digest
        if not PyUnicode_IS_ASCII(text):
            return twin(text, key)
        found = PyUnicode_AsUTF8AndSize(text, &size)
        at = domain_at(found, size)
        digest = digest_of(begun(key, "email"), text)
        to_hex(<const unsigned char *>PyBytes_AS_STRING(digest), out, 16)
        if at == size:
            return PyUnicode_DecodeASCII(out, 16, NULL)
        if not keyed:
            return PyUnicode_DecodeASCII(out, 16, NULL) + text[at:]
        digest = digest_of(begun(key, "email-domain"), text[at:])
        out[16] = b"@"
        to_hex(<const unsigned char *>PyBytes_AS_STRING(digest), out + 17, 10)
        return PyUnicode_DecodeASCII(out, 27, NULL) + ".invalid"

    return made


def digits(object begun, object twin):
    def made(str text not None, bytes key not None):
        cdef Py_ssize_t size, i
        cdef const char *found
        cdef char out[64]
        cdef char hexed[64]
        cdef int used = 0
        cdef object digest
        if not PyUnicode_IS_ASCII(text) or len(text) > 64:
            return twin(text, key)
        found = PyUnicode_AsUTF8AndSize(text, &size)
        digest = digest_of(begun(key, "digits"), text)
        to_hex(<const unsigned char *>PyBytes_AS_STRING(digest), hexed, 64)
        for i in range(size):
            if b"0" <= found[i] <= b"9":
                out[i] = hexed[used] if hexed[used] <= b"9" else hexed[used] - 49
                used += 1
            elif found[i] in (b" ", b"+", b"(", b")", b".", b"/", b":", b"-"):
                out[i] = found[i]
            else:
                out[i] = b"x"
        return PyUnicode_DecodeASCII(out, size, NULL)

    return made


def partial(Py_ssize_t start, Py_ssize_t end):
    cdef Py_ssize_t shown = start + end

    def made(str text not None, bytes _key):
        cdef Py_ssize_t size = len(text), hidden = size - shown
        if not shown or hidden < shown:
            return "*" * size
        return text[:start] + "*" * hidden + text[size - end:]

    return made


cdef inline bint breaks(char c) noexcept:
    return c == b" " or c == b"." or c == b"'" or c == b"-"


def initials(object twin):
    def made(str text not None, bytes key):
        cdef Py_ssize_t size, i, words = 0
        cdef const char *found
        cdef char out[6]
        cdef bint inside = False
        if not PyUnicode_IS_ASCII(text):
            return twin(text, key)
        found = PyUnicode_AsUTF8AndSize(text, &size)
        for i in range(size):
            if breaks(found[i]):
                inside = False
            elif not inside:
                inside = True
                if words < 3:
                    out[2 * words], out[2 * words + 1] = found[i], b"."
                words += 1
        if 2 * words > size:
            return "*"
        return PyUnicode_DecodeASCII(out, 2 * (words if words < 3 else 3), NULL)

    return made


cdef int two(const char *text) noexcept:
    """The number that two digits are; -1 for anything else."""
    if not (b"0" <= text[0] <= b"9" and b"0" <= text[1] <= b"9"):
        return -1
    return (text[0] - 48) * 10 + text[1] - 48


def truncated_day(bint monthly, str rest not None, object twin):
    def made(str text not None, bytes key):
        cdef Py_ssize_t size
        cdef const char *found
        cdef int century, year, month, day
        if not PyUnicode_IS_ASCII(text):
            return twin(text, key)
        found = PyUnicode_AsUTF8AndSize(text, &size)
        if size != 10 or found[4] != b"-" or found[7] != b"-":
            return twin(text, key)
        century, year, month, day = two(found), two(found + 2), two(found + 5), two(found + 8)
        if century < 0 or year < 0 or century + year == 0 or not 1 <= month <= 12 or day < 1:
            return twin(text, key)
        if day > 28 and (month == 2 or day > 30 + (month + month // 8) % 2):
            # no such day, or one of a leap year
            return twin(text, key)
        return text[:8 if monthly else 5] + ("01" if monthly else "01-01") + rest

    return made


def bucket(long long size, object twin):
    def made(str text not None, bytes key):
        cdef Py_ssize_t length, i = 0, begun
        cdef const char *found
        cdef long long number = 0
        if not PyUnicode_IS_ASCII(text):
            return twin(text, key)
        found = PyUnicode_AsUTF8AndSize(text, &length)
        while i < length and i < 16 and b"0" <= found[i] <= b"9":
            number = number * 10 + found[i] - 48
            i += 1
        if i == 0 or i == 16:
            return twin(text, key)
        if i < length:
            begun = i
            if found[i] != b".":
                return twin(text, key)
            i += 1
            while i < length and b"0" <= found[i] <= b"9":
                i += 1
            if i < length or i == begun + 1:
                return twin(text, key)
        return str(number - number % size)

    return made
