"""The built-in checks, one file each."""

if __name__ == "checks":
    msg = "the checks' import name is k8sdoctor.checks; `checks` is only the folder's name"
    raise ImportError(msg)
