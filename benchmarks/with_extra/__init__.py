"""Programs that use an extra as its pages say, in an environment that has no other.

Each has the environment variables of a client, an empty folder, and warnings as errors. It ends
with an error if the extra does not do what it is for.
"""
