/* How entries are shown. */
#ifndef CERTVAULT_CLI_ENTRY_VIEW_H
#define CERTVAULT_CLI_ENTRY_VIEW_H

#include "cli/output_table.h"

/* A line an entry, for lists. */
extern const struct cv_output_view cv_entry_view_list;

/* All about one. */
extern const struct cv_output_view cv_entry_view_one;

#endif
