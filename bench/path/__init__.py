"""The path of a call: every Python function that one warm call passes, in the caller and in the worker."""
