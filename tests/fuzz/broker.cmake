cv_fuzz(archive SOURCES archive_fuzz.c LINK broker)
