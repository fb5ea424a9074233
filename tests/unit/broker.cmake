cv_unit(broker_entry_test SOURCES broker_entry_test.c LINK broker)
cv_unit(broker_ledger SOURCES broker_ledger_test.c store_test.c LINK broker store)
cv_unit(broker_held_test SOURCES broker_held_test.c LINK broker)
cv_unit(broker_grant_test SOURCES broker_grant_test.c LINK broker)
