/* storage: account and certificates of ACME on disk, in the folders and files of certmagic, so that CoreDNS and we find each other's:
 *
 *   STORAGE/acme/CA/users/EMAIL/USER.{json,key}                    the account
 *   STORAGE/certificates/CA/NAME/NAME.{crt,key,json}              a certificate
 *
 * Folders are 0700, files 0600, written aside and renamed. Main thread. Strings that are returned are malloc'd. */
#pragma once
#include "base/err.h"

enum fl_acme_file { FL_ACME_ACCOUNT, FL_ACME_ACCOUNT_KEY, FL_ACME_CERT, FL_ACME_CERT_KEY, FL_ACME_CERT_META };

struct fl_acme_storage { const char *folder, *ca, *email; };    /* borrowed; ca: the directory's URL */

/* name: of the certificate; NULL for the account's files. */
char *fl_acme_path(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name);
/* 0; -ENOENT; -errno or -EFBIG with the words in e. */
int fl_acme_read(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name, char **text, struct fl_err *e);
int fl_acme_write(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name, const char *text, struct fl_err *e);
void fl_acme_remove(const struct fl_acme_storage *s, enum fl_acme_file f, const char *name);
