"""The subcommands of ``python -m benchmark``, a module each.

A module adds its parser at once, and imports what the command needs only where it runs: torch and
Optuna take seconds to import, and whoever asks for help, or for how far a study has got, needs
neither.
"""
