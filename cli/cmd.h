/* What each command does: the functions that the table names. Each returns the
 * status that becomes the exit code, and has printed what there is to print. */
#ifndef CERTVAULT_CLI_CMD_H
#define CERTVAULT_CLI_CMD_H

#include "cli/args.h"

#define CV_CMD(name)              \
    enum cv_status cv_cmd_##name( \
        struct cv_cli *cli, const struct cv_args *args, struct cv_err *err)

CV_CMD(init);             /* cmd_init.c */
CV_CMD(cloud_clusters);   /* cmd_cloud.c */
CV_CMD(cloud_fetch);      /* cmd_cloud.c */
CV_CMD(import);           /* cmd_import.c */
CV_CMD(entry_list);       /* cmd_entry.c */
CV_CMD(entry_show);       /* cmd_entry.c */
CV_CMD(entry_rename);     /* cmd_entry.c */
CV_CMD(entry_label);      /* cmd_entry.c */
CV_CMD(entry_rm);         /* cmd_entry.c */
CV_CMD(pin);              /* cmd_pin.c */
CV_CMD(held_adopt);       /* cmd_held.c */
CV_CMD(held_generate);    /* cmd_held.c */
CV_CMD(held_install);     /* cmd_held.c */
CV_CMD(held_lost);        /* cmd_held.c */
CV_CMD(exec);             /* cmd_exec.c */
CV_CMD(exec_proxy);       /* cmd_exec.c */
CV_CMD(grants_list);      /* cmd_grants.c */
CV_CMD(grants_revoke);    /* cmd_grants.c */
CV_CMD(credential);       /* cmd_credential.c */
CV_CMD(kubeconfig);       /* cmd_kubeconfig.c */
CV_CMD(export);           /* cmd_export.c */
CV_CMD(status);           /* cmd_status.c */
CV_CMD(request);          /* cmd_request.c */
CV_CMD(request_list);     /* cmd_request.c */
CV_CMD(request_approve);  /* cmd_request.c */
CV_CMD(request_deny);     /* cmd_request.c */
CV_CMD(slot_list);        /* cmd_slot.c */
CV_CMD(slot_add);         /* cmd_slot.c */
CV_CMD(slot_remove);      /* cmd_slot.c */
CV_CMD(slot_change);      /* cmd_slot.c */
CV_CMD(token_list);       /* cmd_token.c */
CV_CMD(token_objects);    /* cmd_token.c */
CV_CMD(token_probe);      /* cmd_token.c */
CV_CMD(token_login);      /* cmd_token.c */
CV_CMD(token_change_pin); /* cmd_token.c */
CV_CMD(slot_recovery);    /* cmd_slot.c */
CV_CMD(policy_check);     /* cmd_policy.c */
CV_CMD(policy_apply);     /* cmd_policy.c */
CV_CMD(policy_show);      /* cmd_policy.c */
CV_CMD(policy_explain);   /* cmd_policy.c */
CV_CMD(policy_test);      /* cmd_policy.c */
CV_CMD(policy_diff);      /* cmd_policy_review.c */
CV_CMD(policy_who_can);   /* cmd_policy_review.c */
CV_CMD(policy_history);   /* cmd_policy_review.c */
CV_CMD(policy_sign);      /* cmd_policy_sign.c */
CV_CMD(policy_file_lint); /* cmd_policy_file.c */
CV_CMD(policy_file_fmt);  /* cmd_policy_file.c */
CV_CMD(policy_sign_key);  /* cmd_policy_sign.c */
CV_CMD(audit_query);      /* cmd_audit.c */
CV_CMD(audit_exposure);   /* cmd_exposure.c */
CV_CMD(audit_who);        /* cmd_audit.c */
CV_CMD(audit_tail);       /* cmd_audit.c */
CV_CMD(audit_record);     /* cmd_audit.c */
CV_CMD(audit_status);     /* cmd_audit.c */
CV_CMD(audit_checkpoint); /* cmd_audit.c */
CV_CMD(audit_anchor);     /* cmd_anchor.c */
CV_CMD(audit_key);        /* cmd_audit.c */
CV_CMD(audit_verify);     /* cmd_verify.c */
CV_CMD(backup);           /* cmd_backup.c */
CV_CMD(destroy);          /* cmd_destroy.c */
CV_CMD(backup_restore);   /* cmd_backup.c */
CV_CMD(doctor);           /* cmd_doctor.c */
CV_CMD(config_check);     /* cmd_config.c */
CV_CMD(config_show);      /* cmd_config.c */
CV_CMD(completion);       /* cmd_completion.c */
CV_CMD(agent_start);      /* cmd_agent.c */
CV_CMD(agent_stop);       /* cmd_agent.c */
CV_CMD(agent_status);     /* cmd_agent.c */
CV_CMD(vault_unlock);     /* cmd_vault.c */
CV_CMD(vault_lock);       /* cmd_vault.c */
CV_CMD(about_help);       /* cmd_about.c */
CV_CMD(about_version);    /* cmd_about.c */

CV_CMD(audit_export); /* cmd_leaves.c */
CV_CMD(audit_report); /* cmd_report.c */

/* cmd_prove.c */
CV_CMD(audit_prove);
CV_CMD(audit_consistency);
CV_CMD(audit_rebuild);
CV_CMD(audit_archive); /* cmd_archive.c */
CV_CMD(audit_send);    /* cmd_sink.c */

#endif
