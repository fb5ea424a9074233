cv_unit(audit_vectors SOURCES audit_vectors_test.c audit_test.c LINK audit)
cv_unit(audit_checkpoint SOURCES audit_checkpoint_test.c audit_test.c LINK audit)
cv_unit(audit_tiles SOURCES audit_tiles_test.c audit_test.c LINK audit)
cv_unit(audit_bytes SOURCES audit_bytes_test.c audit_test.c LINK audit)
cv_unit(audit_leaf SOURCES audit_leaf_test.c audit_test.c LINK audit)
# A pen that writes what is no leaf.
cv_unit(audit_spell SOURCES audit_spell_test.c audit_leaf_case.c audit_leaf_model.c
                            audit_test.c LINK audit)
target_link_options(audit_spell PRIVATE LINKER:--wrap=cv_leaf_write)
# System calls that the test counts and makes fail.
cv_unit(audit_log SOURCES audit_log_test.c audit_test.c LINK audit)
target_link_options(audit_log PRIVATE LINKER:--wrap=pwrite
                    LINKER:--wrap=fdatasync LINKER:--wrap=ftruncate)
cv_unit(audit_ahead SOURCES audit_ahead_test.c audit_test.c LINK audit)
target_link_options(audit_ahead PRIVATE LINKER:--wrap=pwrite)
cv_unit(audit_archived SOURCES audit_archived_test.c audit_rotate.c audit_test.c
        LINK audit)
cv_unit(audit_tail SOURCES audit_tail_test.c audit_test.c LINK audit)
cv_unit(audit_verify SOURCES audit_verify_test.c audit_report.c audit_test.c LINK audit)
cv_unit(audit_verify_tiles SOURCES audit_verify_tiles_test.c audit_report.c audit_test.c LINK audit)
cv_unit(audit_verify_keys SOURCES audit_verify_keys_test.c audit_report.c audit_rotate.c
                                  audit_test.c LINK audit)
cv_unit(audit_open SOURCES audit_open_test.c audit_rotate.c audit_test.c LINK audit)
cv_unit(audit_bundle_survey SOURCES audit_bundle_survey_test.c audit_test.c
        LINK audit)
cv_unit(audit_query SOURCES audit_query_test.c audit_test.c LINK audit)
cv_unit(audit_writers SOURCES audit_writers_test.c audit_test.c LINK audit)
cv_unit(audit_mutate SOURCES audit_mutate_test.c audit_test.c LINK audit)
cv_unit(audit_index SOURCES audit_index_test.c audit_test.c LINK audit)
cv_unit(audit_logkey_token SOURCES audit_logkey_token_test.c audit_test.c LINK audit)
cv_unit(audit_notekey SOURCES audit_notekey_test.c audit_test.c LINK audit)
# System calls by which the log reaches the disk: the power goes between them.
cv_unit(audit_power SOURCES audit_power_test.c audit_test.c LINK audit)
target_link_options(audit_power PRIVATE LINKER:--wrap=pwrite LINKER:--wrap=write
                    LINKER:--wrap=fdatasync LINKER:--wrap=fsync
                    LINKER:--wrap=ftruncate LINKER:--wrap=renameat
                    LINKER:--wrap=linkat LINKER:--wrap=unlinkat)
# Each sync fails once.
cv_unit(audit_sync SOURCES audit_sync_test.c audit_test.c LINK audit)
target_link_options(audit_sync PRIVATE LINKER:--wrap=fsync
                    LINKER:--wrap=fdatasync LINKER:--wrap=close)
cv_unit(audit_anchored SOURCES audit_anchored_test.c audit_test.c LINK audit)
