# cython: language_level=3, boundscheck=False, wraparound=False
"""`walk_rows` of `walk.py`, compiled; see there for what it promises."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cpdef tuple walk_rows(object buf, Py_ssize_t pos, Py_ssize_t end, Py_ssize_t max_rows, Py_ssize_t max_bytes):
    cdef Py_buffer view
    cdef const unsigned char *data
    cdef Py_ssize_t stop, rows = 0
    cdef unsigned long long length
    PyObject_GetBuffer(buf, &view, PyBUF_SIMPLE)
    try:
        if not (0 <= pos and pos <= end and end <= view.len):
            raise ValueError("positions outside the buffer")
        data = <const unsigned char *>view.buf
        stop = end if max_bytes >= end - pos else pos + max_bytes
        while rows < max_rows and stop - pos >= 5:
            if data[pos] != 68 and data[pos] != 100:
                break
            length = (
                (<unsigned long long>data[pos + 1] << 24) | (<unsigned long long>data[pos + 2] << 16)
                | (<unsigned long long>data[pos + 3] << 8) | <unsigned long long>data[pos + 4]
            )
            if length < 4 or length > <unsigned long long>(stop - pos - 1):
                break
            pos += 1 + <Py_ssize_t>length
            rows += 1
    finally:
        PyBuffer_Release(&view)
    return pos, rows
