"""The one place where genomics meets ml: request in, result out.

It must not know who asked, nor on which log the request came.
"""
