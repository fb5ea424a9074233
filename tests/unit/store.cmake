cv_unit(store_open SOURCES store_open_test.c store_test.c LINK store)
cv_unit(store_entry SOURCES store_entry_test.c store_test.c LINK store)
cv_unit(store_rest SOURCES store_rest_test.c store_test.c LINK store)
