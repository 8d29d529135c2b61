"""Variants, HGVS, SPDI, VCF, reference bundles, alignment, consequences, pharmacogenomics, ancestry, ACMG evidence.

Pure: it must not know events, clusters, settings, the network or the time. Columns in, columns out.
"""
