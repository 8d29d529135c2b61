# What other kernels may use of `Models` in C. After a change, compile every kernel that cimports it again.
cdef class Models:
    cdef readonly int contig_count, transcript_count
    cdef const unsigned char[::1] sequence
    cdef const int[::1] segment_contig
    cdef const long long[::1] segment_start, segment_end, segment_base
    cdef const int[::1] contig_segment
    cdef const long long[::1] contig_length
    cdef const unsigned char[::1] contig_circular
    cdef const int[::1] transcript_contig, transcript_start, transcript_end
    cdef const signed char[::1] transcript_strand
    cdef const int[::1] transcript_order
    cdef const unsigned char[::1] transcript_biotype
    cdef const unsigned int[::1] transcript_flags
    cdef const int[::1] transcript_gene, transcript_exon
    cdef const int[::1] exon_start, exon_end, exon_cdna
    cdef const int[::1] transcript_cdna_length, coding_start, coding_end, cds_cdna_start, cds_cdna_end
    cdef const unsigned char[::1] transcript_phase, transcript_table
    cdef const long long[::1] transcript_mrna, transcript_protein
    cdef const unsigned char[::1] mrna, protein
    cdef const long long[::1] transcript_pick_before, transcript_pick_after
    cdef const int[::1] contig_cell, cell_start, cell_transcript
    cdef const long long[::1] cell_transcript_first
    cdef const int[::1] mature_transcript, mature_start, mature_end
    cdef const unsigned char[::1] amino_acids, starts, letters, codes
    cdef int remembered

    cdef int segment_of(self, int contig, int pos) noexcept nogil
    cdef int code(self, int contig, int pos) noexcept nogil
    cdef int letter(self, int contig, int pos) noexcept nogil
    cdef int exon_before(self, int t, int pos) noexcept nogil
    cdef int cdna_at(self, int t, int pos) noexcept nogil
    cdef int genomic_at(self, int t, int cdna) noexcept nogil
    cdef int exon_number(self, int t, int e) noexcept nogil
    cdef int cell_at(self, int contig, int pos, int hint) noexcept nogil
    cdef int amino_acid(self, int table, int a, int b, int c) noexcept nogil
