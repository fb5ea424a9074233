cv_fuzz(seal_box SOURCES seal_box_fuzz.c LINK seal base)
cv_fuzz(seal_key SOURCES seal_key_fuzz.c LINK seal base)
cv_fuzz(seal_slot SOURCES seal_slot_fuzz.c LINK seal base)
