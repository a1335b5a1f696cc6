/*-------------------------------------------------------------------------
 *
 * role.h
 *	  Roles of this process, also where it is no session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_ROLE_H
#define IOPOOL_ROLE_H

/* role.c */
extern void iopool_role_get(Oid *current, Oid *session);
extern const char *iopool_role_name(Oid roleid);

#endif /* IOPOOL_ROLE_H */
