cv_fuzz(json SOURCES json_fuzz.c LINK base)
