cv_fuzz(audit_log SOURCES audit_log_fuzz.c LINK audit)
cv_fuzz(audit_note SOURCES audit_note_fuzz.c LINK audit)
cv_fuzz(audit_proof SOURCES audit_proof_fuzz.c LINK audit)
cv_fuzz(audit_bundle SOURCES audit_bundle_fuzz.c LINK audit)
