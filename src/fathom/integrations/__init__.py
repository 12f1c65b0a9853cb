"""fathom in trainers: one trainer a file, which is imported by those who have it."""
