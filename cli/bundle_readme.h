/* README.txt of a bundle: how to check it with what every machine has. */
#ifndef CERTVAULT_CLI_BUNDLE_README_H
#define CERTVAULT_CLI_BUNDLE_README_H

/* Its text; the lines that begin with four blanks are commands for sh. */
extern const char cv_bundle_readme_text[];

#endif
