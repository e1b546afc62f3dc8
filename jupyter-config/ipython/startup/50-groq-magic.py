"""Makes %%groq known at every start of IPython, without %load_ext groq_magic."""


def _load_groq_magic():
    try:
        get_ipython().extension_manager.load_extension("groq_magic")  # noqa: F821
    except Exception:  # noqa: BLE001, S110  # a kernel must start, whatever is wrong with us
        pass


_load_groq_magic()
del _load_groq_magic
