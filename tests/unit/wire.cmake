cv_unit(wire_channel_test SOURCES wire_channel_test.c LINK wire base)
cv_unit(wire_serve_test SOURCES wire_serve_test.c LINK wire base)
