cv_fuzz(audit_log SOURCES audit_log_fuzz.c LINK audit)
cv_fuzz(audit_note SOURCES audit_note_fuzz.c LINK audit)
cv_fuzz(audit_proof SOURCES audit_proof_fuzz.c LINK audit)
cv_fuzz(audit_bundle SOURCES audit_bundle_fuzz.c LINK audit)
cv_fuzz(audit_leaf SOURCES audit_leaf_fuzz.c ../unit/audit_leaf_case.c
                           ../unit/audit_leaf_model.c LINK audit)
cv_fuzz(witness SOURCES witness_fuzz.c LINK audit)
