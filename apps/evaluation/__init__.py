"""Scoring a run, or arrays of codes: what is measured, how it is kept, and what a report says of it."""
