"""Makes %%groq known at every start of IPython, without %load_ext groq_magic."""


def _load_groq_magic():
    from contextlib import suppress

    with suppress(Exception):  # a kernel must start, whatever is wrong with us
        get_ipython().extension_manager.load_extension("groq_magic")  # noqa: F821


_load_groq_magic()
del _load_groq_magic
