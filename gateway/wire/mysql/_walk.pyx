# cython: language_level=3, boundscheck=False, wraparound=False
"""`walk_rows` of `walk.py`, compiled; see there for what it promises."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cpdef tuple walk_rows(
    object buf, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t max_rows, Py_ssize_t max_bytes, int sequence, bint binary
):
    cdef Py_buffer view
    cdef const unsigned char *data
    cdef Py_ssize_t stop, length, rows = 0
    cdef unsigned char first
    PyObject_GetBuffer(buf, &view, PyBUF_SIMPLE)
    try:
        if not (0 <= pos and pos <= end and end <= view.len):
            raise ValueError("positions outside the buffer")
        data = <const unsigned char *>view.buf
        stop = end if max_bytes >= end - pos else pos + max_bytes
        while rows < max_rows and stop - pos >= 5:
            length = data[pos] | (<Py_ssize_t>data[pos + 1] << 8) | (<Py_ssize_t>data[pos + 2] << 16)
            if length > stop - pos - 4 or data[pos + 3] != sequence or length == 0 or length == 0xFFFFFF:
                break
            first = data[pos + 4]
            if (first != 0) if binary else (first >= 0xFE):
                break
            pos += 4 + length
            rows += 1
            sequence = (sequence + 1) & 0xFF
    finally:
        PyBuffer_Release(&view)
    return pos, rows, sequence
