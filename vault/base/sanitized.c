/* Linked into programs, not into the library: a process that made itself
 * undumpable and locked itself down cannot be searched for leaks at its end (by
 * a thread that traces it), and would be killed for trying.
 * The unit tests stay dumpable and are searched. */
#if defined(CV_SANITIZED)
/* lsan_interface.h: asked for before the search. */
int cv_sanitized_no_leak_check(void) __asm__("__lsan_is_turned_off");

__attribute__((visibility("default"))) int cv_sanitized_no_leak_check(void)
{
    return 1;
}

/* asan_interface.h: asked for at the start. Helpers get no environment, and
 * memory that stays flat can only be seen when freed memory is not kept back
 * for long. */
const char *cv_sanitized_options(void) __asm__("__asan_default_options");

__attribute__((visibility("default"))) const char *cv_sanitized_options(void)
{
    return "quarantine_size_mb=32";
}
#else
typedef int cv_sanitized_is_not_empty;
#endif
