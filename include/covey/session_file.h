/* Sessions in files: a conversation is put down and taken up again, by another process too. */
#ifndef COVEY_SESSION_FILE_H
#define COVEY_SESSION_FILE_H

#include <covey/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes tokens, logits, keys and values to a file, replaced atomically and readable by its owner
 * alone (docs/formats/session.md). It is as private as the conversation itself. */
COVEY_API COVEY_MUST_USE covey_status covey_session_save(const covey_session *session,
                                                         const char *path, covey_error *error);
/* Opens a session as it was saved. `options` may be NULL; its kv_type must be the file's, or
 * COVEY_KV_DEFAULT, which takes the file's. COVEY_ERROR_MISMATCH names what differs when the file
 * was saved on another model, other adapters or another arithmetic version; COVEY_ERROR_FORMAT when
 * it is damaged; COVEY_ERROR_CONTEXT_SIZE when it holds more tokens than the context. Any thread,
 * as for covey_session_open. */
COVEY_API COVEY_MUST_USE covey_status covey_session_restore(covey_model *model,
                                                            const covey_session_options *options,
                                                            const char *path,
                                                            covey_session **session,
                                                            covey_error *error);

/* The same with a note: bytes of the caller's own, such as the words that the tokens were made of.
 * It stands in the file under the same digest, and is handed on once all of the file was checked;
 * `note` may be NULL, and is not called where there is none. At most COVEY_NOTE_BYTES_MAX, else
 * COVEY_ERROR_LIMIT. */
#define COVEY_NOTE_BYTES_MAX (16 << 20)
typedef void (*covey_note_fn)(void *user, const void *note, size_t note_size);
COVEY_API COVEY_MUST_USE covey_status covey_session_save_with_note(const covey_session *session,
                                                                   const char *path,
                                                                   const void *note,
                                                                   size_t note_size,
                                                                   covey_error *error);
COVEY_API COVEY_MUST_USE covey_status covey_session_restore_with_note(
    covey_model *model, const covey_session_options *options, const char *path,
    covey_session **session, covey_error *error, covey_note_fn note, void *user);

#ifdef __cplusplus
}
#endif
#endif
