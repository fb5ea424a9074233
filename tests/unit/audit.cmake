cv_unit(audit_vectors SOURCES audit_vectors_test.c audit_test.c LINK audit)
cv_unit(audit_bytes SOURCES audit_bytes_test.c audit_test.c LINK audit)
