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
#else
typedef int cv_sanitized_is_not_empty;
#endif
