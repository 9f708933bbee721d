"""Call `main()` of the module that the first argument names.

Run by path: `python -m` would import Python files of the current folder.

It imports the charlm that contains this file, whatever other charlm is installed, and nothing before `sys.path` is
clean.
"""

import sys

if __name__ == "__main__":
    import os

    script_folder = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == script_folder:  # absent with PYTHONSAFEPATH
        del sys.path[0]

    from importlib import import_module
    from importlib.util import module_from_spec, spec_from_file_location

    package = os.path.dirname(script_folder)
    spec = spec_from_file_location("charlm", os.path.join(package, "__init__.py"), submodule_search_locations=[package])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{package}: no package there")
    sys.modules["charlm"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["charlm"])

    import_module(sys.argv[1]).main()
