cv_fuzz(fetch_answer SOURCES fetch_answer_fuzz.c LINK fetch base)
cv_fuzz(fetch_profile SOURCES fetch_profile_fuzz.c LINK fetch base)
