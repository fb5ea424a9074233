cv_unit(relay_leg_test SOURCES relay_leg_test.c relay_pair.c LINK relay base)
