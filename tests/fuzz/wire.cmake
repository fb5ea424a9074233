cv_fuzz(wire SOURCES wire_fuzz.c LINK wire base)
