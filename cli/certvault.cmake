# The page of a report, as it is read in the tree, as C strings.
set(cv_report_text "")
foreach(name IN ITEMS css js)
  set(file ${CMAKE_CURRENT_LIST_DIR}/report/page.${name})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
  string(APPEND cv_report_text
         "extern const char cv_report_page_${name}[];\n"
         "const char cv_report_page_${name}[] =\n    \"${text}\";\n")
endforeach()
file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/report_files.c
     CONTENT "${cv_report_text}")

# The command line: a library, so that tests reach its parts, and the program.
# It links base and wire, and of audit what checks a report (a test compares
# DT_NEEDED with a list).
cv_library(cli LAYER 6
  SOURCES agent.c args.c arrival.c call.c check.c cli.c cloud.c cmd_about.c cmd_agent.c cmd_anchor.c cmd_archive.c cmd_audit.c log_archive.c cmd_backup.c bundle_folder.c bundle_readme.c cmd_bundle.c
          cmd_cloud.c cmd_completion.c cmd_config.c cmd_credential.c cmd_destroy.c cmd_doctor.c cmd_entry.c
          cmd_exec.c cmd_export.c cmd_exposure.c cmd_grants.c cmd_held.c cmd_import.c cmd_init.c cmd_kubeconfig.c cmd_leaves.c cmd_pin.c cmd_report.c cmd_policy.c cmd_request.c cmd_slot.c
          cmd_sink.c sink_target.c ../vault/broker/anchor_config.c ../vault/broker/anchor_place.c
          config_files.c config_rules.c days.c done.c module_setting.c pin_kind.c place_word.c
          ../pkcs11/module_named.c ../vault/broker/policy_signer.c ../vault/fetch/origin.c
          ../vault/fetch/region_entry.c ../vault/fetch/region_list.c
          cmd_status.c inside.c status_http.c status_text.c
          cmd_policy_sign.c cmd_policy_file.c cmd_policy_review.c
          cmd_token.c
          cmd_vault.c cmd_prove.c cmd_verify.c verify_anchors.c witnesses.c command.c command_table.c nearest.c complete.c
          config.c config_schema.c connect.c connect_socket.c doctor_host.c doctor_left.c doctor_service.c
          entry_view.c foreground.c help.c hop.c hop_file.c import_read.c interrupt.c
          keyless.c kube_file.c leaves.c module_env.c offline.c
          out_file.c output.c output_table.c output_yaml.c path.c pin.c pin_source.c pinentry.c
          place.c prompt.c receipt.c report_page.c report_sum.c report_text.c runtime.c scratch.c
          ${CMAKE_CURRENT_BINARY_DIR}/report_files.c
          secret.c unlock.c wait.c
  LINK base wire audit)
cv_program(certvault SOURCES main.c LINK cli)
# kubectl finds its plugins by this name.
add_custom_command(TARGET certvault POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E create_symlink certvault
          ${CMAKE_BINARY_DIR}/bin/kubectl-certvault)
