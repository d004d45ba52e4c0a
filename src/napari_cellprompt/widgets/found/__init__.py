"""Proposals of Everything and Few-shot: shown, filtered, accepted."""
