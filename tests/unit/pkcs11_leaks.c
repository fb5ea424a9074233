/* SoftHSM 2.6.1 loses the decoded curve name (37 bytes) at each use of an
 * Ed25519 key. Only what was allocated below that module is passed over, which
 * needs whole stacks: its libcrypto was built without frame pointers.
 *
 * The two are asked for by the checkers' runtime (sanitizer/asan_interface.h,
 * lsan_interface.h). */
#if defined(CV_SANITIZED)
const char *rig_leaks_of_others(void) __asm__("__lsan_default_suppressions");
const char *rig_whole_stacks(void) __asm__("__asan_default_options");

__attribute__((visibility("default"))) const char *rig_leaks_of_others(void)
{
    return "leak:libsofthsm2.so\n";
}

__attribute__((visibility("default"))) const char *rig_whole_stacks(void)
{
    return "fast_unwind_on_malloc=0";
}
#else
typedef int rig_leaks_is_not_empty;
#endif
