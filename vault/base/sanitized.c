/* Linked into programs, not into the library: a process that made itself
 * undumpable cannot be searched for leaks at its end, and says so with a
 * failure. The unit tests stay dumpable and are searched. */
#if defined(CV_SANITIZED)
int __lsan_is_turned_off(void);

__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
    return 1;
}
#else
typedef int cv_sanitized_is_not_empty;
#endif
