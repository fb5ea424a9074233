cv_unit(broker_entry_test SOURCES broker_entry_test.c LINK broker)
