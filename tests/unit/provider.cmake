cv_unit(provider_test SOURCES provider_test.c tls_rig.c
        LINK provider seal base PkgConfig::SSL)
cv_unit(provider_tls_test SOURCES provider_tls_test.c tls_rig.c
        LINK provider seal base PkgConfig::SSL PkgConfig::CURL)
