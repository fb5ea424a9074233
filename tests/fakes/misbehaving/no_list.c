/* A library that is no PKCS#11 module. */
int no_list_here(void);

__attribute__((visibility("default"))) int no_list_here(void)
{
    return 0;
}
