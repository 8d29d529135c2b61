"""For every test: property tests never fail because the machine was busy, and a failure prints how to repeat it."""

from hypothesis import settings

settings.register_profile("genescale", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("deep", deadline=None, print_blob=True, max_examples=1000)  # .ci/run --deep
settings.load_profile("genescale")
