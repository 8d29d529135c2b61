# What other kernels may call of `normalise`.

cdef class Sequence:
    cdef const unsigned char[::1] packed
    cdef const int[::1] contig_segment
    cdef const long long[::1] segment_start
    cdef const long long[::1] segment_end
    cdef const long long[::1] segment_base
    cdef const unsigned char[::1] code_of
    cdef const unsigned char[::1] letter_of
    cdef public Py_ssize_t contigs

    cdef long long segment(self, long long contig, long long position) noexcept nogil
    cdef int code(self, long long segment, long long position) noexcept nogil
    cdef long long roll_right(
        self, long long segment, long long start, long long end,
        const unsigned char[::1] text, long long alt, long long length, long long limit) noexcept nogil
    cdef long long roll_left(
        self, long long segment, long long start, long long end,
        const unsigned char[::1] text, long long alt, long long length, long long limit) noexcept nogil
