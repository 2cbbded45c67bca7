"""`python -m k8sdoctor`."""

from k8sdoctor.cli import main

if __name__ == "__main__":
    main()
