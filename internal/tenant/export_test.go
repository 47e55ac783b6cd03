package tenant

import "context"

// VerifyPassword is what a sign-in of a user does: it says whether the password is theirs.
func (s *Service) VerifyPassword(ctx context.Context, name, password string) (bool, error) {
	d, err := s.directory(ctx)
	if err != nil {
		return false, err
	}
	found, _, err := d.user(name)
	if err != nil {
		return verifyPassword(userRecord{}, password), nil
	}
	return verifyPassword(found.value, password), nil
}
