"""The review in the browser: see a cohort's masks, approve, correct or draw them, and record one's own reading.

Nothing is imported here: the server's packages (lock ``review``) are needed where it runs alone.
"""
