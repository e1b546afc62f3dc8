"""Makes %%groq known at every start of IPython, without %load_ext groq_magic."""


def _load_groq_magic():
    import sys
    from contextlib import suppress
    from pathlib import Path

    path = sys.path[:]
    with suppress(Exception):  # a kernel must start, whatever is wrong with us
        # No cell has run yet, so nothing of the working folder may run. It is "" in the path;
        # python -m puts its name at the head; IPython puts the folder of this file and the packages
        # of another active environment before it.
        head = [folder for folder in path[:3] if folder != str(Path.cwd())]
        sys.path[:] = filter(None, head + path[3:])
        get_ipython().extension_manager.load_extension("groq_magic")  # noqa: F821
    sys.path[:] = path


_load_groq_magic()
del _load_groq_magic
