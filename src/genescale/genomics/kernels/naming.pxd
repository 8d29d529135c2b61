# What other kernels may use of `naming`. After a change, compile every kernel that cimports it again.

from genescale.genomics.kernels.models cimport Models
from genescale.genomics.kernels.normalise cimport Sequence

cdef class Genes:
    cdef readonly Models models
    cdef readonly Sequence sequence
    cdef const long long[::1] name_offset
    cdef const unsigned char[::1] name
    cdef const long long[::1] protein_name_offset
    cdef const unsigned char[::1] protein_name
    cdef const long long[::1] contig_name_offset
    cdef const unsigned char[::1] contig_name
    cdef const unsigned char[::1] contig_mitochondrial
    cdef const long long[::1] contig_circle


cdef class Edit:
    cdef long long variant
    cdef int kind
    cdef long long start
    cdef long long end
    cdef long long alt
    cdef long long length
    cdef long long turn
    cdef long long steps
    cdef long long copies
    cdef bint single
    cdef bint clipped

cdef class Pen:
    cdef unsigned char[::1] out
    cdef Py_ssize_t at
    cdef Py_ssize_t room

    cdef void put(self, int letter) noexcept nogil
    cdef void number(self, long long value) noexcept nogil
    cdef void copy(self, const unsigned char[::1] text, long long first, long long last) noexcept nogil

cdef class Variants:
    cdef const int[::1] record
    cdef const int[::1] contig
    cdef const int[::1] start
    cdef const unsigned char[::1] kind
    cdef const unsigned int[::1] flags
    cdef const long long[::1] ref
    cdef const int[::1] ref_length
    cdef const long long[::1] alt
    cdef const int[::1] alt_length
    cdef const unsigned char[::1] text
    cdef public Py_ssize_t count

cdef void describe(Genes genes, Edit edit, Variants variants, long long row, bint reverse, bint strict, bint whole, long long low, long long high) noexcept nogil
cdef long long place(Models models, int transcript, long long position) noexcept nogil
